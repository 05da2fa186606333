"""A certificate authority of one's own, as a company has it, and the certificates that it gives or should not."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from warnings import catch_warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """Signs certificates; who is to believe it is given `file`."""

    def __init__(self, folder: Path) -> None:
        """Make it.

        :param folder: where its certificate and those that it signs go, with their keys.
        """
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"Authority {folder.name}")
        public = self._signed(self._name, self._key.public_key(), days=2, subject=None, signer=self._key)
        self.file = self._write("authority", public)

    def certificate(self, label: str, *names: str, days: int = 2, self_signed: bool = False) -> Path:
        """A certificate with its key in one file.

        :param names: host names and addresses that it is for.
        :param days: how long it holds from yesterday on; below 1 it has expired.
        :param self_signed: vouched for by itself instead of the authority.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        signer = key if self_signed else self._key
        made = self._signed(_named(names[0]), key.public_key(), days=days, subject=names, signer=signer)
        plain = serialization.NoEncryption()
        return self._write(
            label, made, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        )

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        days: int,
        subject: tuple[str, ...] | None,
        signer: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        begins = datetime.now(UTC) - timedelta(days=10)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name if signer is self._key else name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(datetime.now(UTC) + timedelta(days=days - 1))
            .add_extension(x509.BasicConstraints(ca=subject is None, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if subject is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in subject]), False)
        return builder.sign(signer, hashes.SHA256())

    def _write(self, label: str, certificate: x509.Certificate, key: bytes = b"") -> Path:
        file = self._folder / f"{label}.pem"
        file.touch(mode=0o600)
        file.write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))
        return file


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def serving_with(certificate: Path, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What a server needs to show the certificate.

    :param newest: the newest version of TLS that it speaks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if newest < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL itself would refuse it, on the server's side
    with catch_warnings(category=DeprecationWarning, action="ignore"):  # that it is old is what is wanted
        context.minimum_version = min(newest, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = newest
    return context
