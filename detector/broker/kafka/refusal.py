"""Refusal: a broker that is there and does not let us in, said so that somebody can mend it.

librdkafka tries again for ever, and of a certificate it says only that it could not be verified. Before the first
answer of a broker a refusal is a wrong configuration, and ends the process; afterwards it is news: whoever rotates
passwords or certificates must not stop a stream that works.
"""

import socket
import ssl
from typing import Final

from confluent_kafka import KafkaError

from detector.broker.options import Options
from detector.errors import ConfigError

PASSING: Final = ("isconnected", "timed out", "reset by peer")
"""What librdkafka says under the same codes of a broker that goes down in the middle of a handshake."""
LOOK_S: Final = 3.0
"""Longest wait for the handshake that finds out what is wrong with a certificate."""


def is_refusal(code: int, text: str) -> bool:
    """Whether no retry mends it: a user or password that is wrong, or a certificate that either side does not take."""
    if any(words in text for words in PASSING):
        return False
    return code == KafkaError._AUTHENTICATION or (
        code == KafkaError._SSL and ("certificate" in text or "alert" in text)
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
    why = _flaw_of_certificate(options, str(servers)) or text
    return ConfigError(
        f"kafka: TLS with {servers}: wanted certificates that are valid now and vouched for on both sides, the "
        f"broker's by ssl.ca.location (got: {why})"
    )


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
