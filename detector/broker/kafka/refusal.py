"""Refusal: a broker that is there and does not let us in, said so that somebody can mend it.

librdkafka tries again for ever, and of a certificate it says only that it could not be verified. Before the first
answer of a broker a refusal is a wrong configuration, and ends the process; afterwards it is news: whoever rotates
passwords or certificates must not stop a stream that works.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError

from detector.broker.options import Options
from detector.errors import ConfigError

PASSING: Final = ("isconnected", "timed out", "reset by peer")
"""What librdkafka says under the same codes of a broker that goes down in the middle of a handshake."""
ROUNDS: Final = 4
"""Turns of each side in a handshake: two are enough for TLS 1.3, three for TLS 1.2."""
ALERTS: Final = (
    "alert bad certificate",
    "alert certificate",
    "alert unsupported certificate",
    "alert unknown ca",
    "alert access denied",
)
"""What a broker says of a client's certificate that it does not take, in OpenSSL's words."""
OUR_OWN: Final = ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")
"""Settings that name a certificate of ours."""
LOOK_S: Final = 3.0
"""Longest wait for the handshake that finds out what is wrong with a certificate."""


def is_refusal(code: int, text: str) -> bool:
    """Whether no retry mends it: a user or password that is wrong, or a certificate that either side does not take."""
    if any(words in text for words in PASSING):
        return False
    return (
        code == KafkaError._AUTHENTICATION
        or (code == KafkaError._SSL and ("certificate" in text or "alert" in text))
        # Under TLS 1.3 our own certificate is looked at when the handshake is over for us: librdkafka takes the alert
        # for a connection that was lost, and comes again for ever.
        or (code == KafkaError._TRANSPORT and any(words in text for words in ALERTS))
    )


def refused(options: Options, code: int, text: str) -> ConfigError:
    """What is to be mended; `code` and `text` are librdkafka's."""
    servers = options.get("bootstrap.servers", options.get("metadata.broker.list"))
    if code == KafkaError._AUTHENTICATION:
        user = options.get("sasl.username", options.get("sasl.mechanism", ""))
        return ConfigError(
            f"kafka: sasl.username and sasl.password: wanted a user and password that {servers} takes "
            f"(got a refusal of {user!r}: {text})"
        )
    why = _flaw_of_our_own(options, text) or _flaw_of_certificate(options, str(servers)) or text
    return ConfigError(
        f"kafka: TLS with {servers}: wanted certificates that are valid now and vouched for on both sides, the "
        f"broker's by ssl.ca.location (got: {why})"
    )


def _flaw_of_our_own(options: Options, text: str) -> str:
    """What OpenSSL says of the certificate that we show, e.g. that it has expired; '' if it finds nothing.

    A broker says only that it does not take it. So we show it to ourselves, and trust whoever issued it.
    """
    certificate = options.get("ssl.certificate.location")
    if not certificate:
        is_wanted = any(words in text for words in ALERTS) and not any(name in options for name in OUR_OWN)
        return f"the broker wants one of ours, and {OUR_OWN[0]} names none: {text}" if is_wanted else ""
    password = str(options.get("ssl.key.password", ""))
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        for context in (ours, theirs):
            context.load_cert_chain(str(certificate), str(options.get("ssl.key.location", certificate)), password)
        ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
        theirs.verify_mode = ssl.CERT_REQUIRED
        theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        theirs.load_verify_locations(str(certificate))
        _shake_hands(ours, theirs)
    except ssl.SSLCertVerificationError as error:
        return f"our own {error.verify_message}: {certificate}"
    except (OSError, ValueError):
        pass  # librdkafka's own words are all that there is
    return ""


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """In memory, where nobody else hears it; raises what either side has against the other."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(ROUNDS):
        for side in list(sides):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)


def _flaw_of_certificate(options: Options, servers: str) -> str:
    """What OpenSSL says of the first broker's certificate, e.g. that it has expired; '' if it finds nothing."""
    host, _, port = servers.split(",")[0].strip().rpartition(":")
    host = host.strip("[]")
    location = options.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=str(location) if location else None)
        context.check_hostname = options.get("ssl.endpoint.identification.algorithm", "https") != "none"
        with (
            socket.create_connection((host, int(port)), LOOK_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"the broker's {error.verify_message}"
    except (OSError, ValueError):
        return ""  # librdkafka's own words are all that there is
