"""A real Kafka that asks who comes: TLS with certificates of our own making, SCRAM or certificates of clients, and an
access control list.

The list is filled by what `detector acls --apply` calls, and with nothing else.
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from detector.broker.access import WHO, bindings, principals
from detector.broker.kafka import KafkaBroker
from detector.broker.local import Guard, LocalKafka
from detector.config import KafkaOptions, Settings

MECHANISM: Final = "SCRAM-SHA-512"
LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


def password(who: str) -> str:
    """Of a user of the deployment."""
    return f"secret-of-{who}"


def make_certificates(folder: Path, not_after: datetime.datetime | None = None) -> Path:
    """`broker.pem`, its key and chain, for localhost, and `ca.pem`, which vouches for it; the folder.

    `valid.pem` and `expired.pem` are clients' that it vouches for too, each with its key and chain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = {
        "broker": authority.issue_cert("localhost", not_after=not_after),
        "valid": authority.issue_cert("client@example.net"),
        "expired": authority.issue_cert("client@example.net", not_after=yesterday()),
    }
    for name, certificate in issued.items():
        # Java reads keys in no other form.
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        (folder / f"{name}.pem").write_bytes(pkcs8 + chain)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


def yesterday() -> datetime.datetime:
    """When a certificate expired."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def mutual_guard(certificates: Path) -> Guard:
    """Whoever has a certificate that the authority vouches for may do everything."""
    return Guard(
        {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,GUARDED:SSL,CONTROLLER:PLAINTEXT",
            "listener.name.guarded.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates / "ca.pem"),
        }
    )


def mutual_options(kafka: LocalKafka, certificates: Path, client: str) -> dict[str, str]:
    """What stands under `kafka:` in the settings of a client with the certificate of that name."""
    return {
        "bootstrap.servers": kafka.guarded,
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificates / "ca.pem"),
        "ssl.certificate.location": str(certificates / f"{client}.pem"),
        "ssl.key.location": str(certificates / f"{client}.pem"),
    }


def guard(certificates: Path, group: str) -> Guard:
    """Everybody of `WHO` has a password and no right; who comes over the plain address of this machine has all."""
    users = [
        part for who in WHO for part in ("--add-scram", f"{MECHANISM}=[name={group}-{who},password={password(who)}]")
    ]
    return Guard(
        {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.guarded.{MECHANISM.lower()}.sasl.jaas.config": LOGIN,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(certificates / "broker.pem"),
        },
        tuple(users),
    )


@dataclass(frozen=True, slots=True)
class Guarded:
    """The running broker, and how its users come in."""

    kafka: LocalKafka
    certificates: Path
    group: str

    def options(self, who: str) -> dict[str, str]:
        """What stands under `kafka:` in the settings of one user."""
        return {
            "bootstrap.servers": self.kafka.guarded,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": f"{self.group}-{who}",
            "sasl.password": password(who),
            "ssl.ca.location": str(self.certificates / "ca.pem"),
        }

    def kafka_options(self, who: str) -> KafkaOptions:
        """The same, for a client."""
        return {**self.options(who)}

    def allow(self, settings: Settings) -> None:
        """The deployment of `settings` may do what its list says."""
        broker = KafkaBroker(self.kafka.options)
        broker.allow(bindings(settings, principals(settings, {})))
        broker.close()


@contextmanager
def running(folder: Path, group: str, not_after: datetime.datetime | None = None) -> Iterator[Guarded]:
    """A guarded Kafka with its certificates in `folder`."""
    certificates = make_certificates(folder, not_after)
    with LocalKafka(guard=guard(certificates, group)) as kafka:
        yield Guarded(kafka, certificates, group)
