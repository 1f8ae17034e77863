"""How S3 is spoken to: who we are, how a request is signed, what an answer means.

s3fs says who we are and where the service is, with everything that the ecosystem knows of
it (environment, profiles, SSO, web identity, instance roles, endpoints, addressing styles);
botocore signs. The requests themselves go over ``wire``.
"""

import os
import re
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree as ET

import s3fs
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, NoCredentialsError
from fsspec.asyn import sync

from lading.config.models import Destination
from lading.errors import (
    ChecksumError,
    ConditionError,
    MissingObjectError,
    StoreError,
    UnavailableError,
)
from lading.storage.cloud import Bucket
from lading.storage.wire import ExpiredError, Reply, Request

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
"""What the root element of a document to S3 says."""
_FRESH_S = 60.0  # how long credentials are used without asking whether they were renewed
_UNSIGNED = "UNSIGNED-PAYLOAD"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_PASSING = {
    "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling",
    "ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded", "OperationAborted",
    "ConditionalRequestConflict", "RequestThrottled", "TooManyRequests", "IncompleteBody",
}  # fmt: skip
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_CHECKSUM = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
}
_REGION = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}


_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _PRECONDITION_FAILED, _OUTSIDE = 400, 403, 404, 412, 416
_CREDENTIALS = "look at AWS_ACCESS_KEY_ID, AWS_PROFILE, or `profile` of the destination"
_ADVICE = {
    "NoSuchBucket": "create the bucket, or mend `url` of the destination",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
}
_NAMESPACE = re.compile(rb"\sxmlns=([\"'])[^\"']*\1")
_ELSEWHERE = {301, 307, 400}
_REGIONAL = re.compile(r"\bs3[.-][a-z]+(-[a-z]+)+-\d")


class S3Dialect:
    """The dialect of one bucket.

    Args:
        bucket: the bucket.
        options: endpoint, region, profile, and who pays.

    Raises:
        StoreError: the configuration of the ecosystem (profile, region) cannot be used.
    """

    def __init__(self, bucket: Bucket, options: Destination) -> None:
        self._bucket = bucket
        self._options = options
        self._lock = threading.Lock()
        self._credentials: ReadOnlyCredentials | None = None
        self._asked_at = -_FRESH_S
        try:
            self._filesystem, client = _connect(
                options.anonymous, options.profile, options.endpoint, options.region
            )
            self.base = _base_of(self._filesystem, client, bucket.name)
        except NoCredentialsError as error:
            raise _found_none(bucket) from error
        except (BotoCoreError, ValueError, OSError) as error:
            raise StoreError(f"{bucket.url}: expected to set up S3, got: {error}") from error
        self.region = str(client.meta.region_name or "us-east-1")
        if self.region == "aws-global":
            self.region = "us-east-1"
        # a host that names a region answers for no other
        self._may_learn = not options.region and not _REGIONAL.search(urlsplit(self.base).netloc)

    @property
    def ca_bundle(self) -> str:
        """File of the authorities that the ecosystem trusts, or ""."""
        variables = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
        return next((os.environ[each] for each in variables if os.environ.get(each)), "")

    def url_of(self, name: str = "", query: str = "") -> str:
        """Return the URL of an object, or of the bucket."""
        path = f"{self.base}/{quote(name, safe='-._~/')}" if name else f"{self.base}/"
        return f"{path}?{query}" if query else path

    def authorise(self, request: Request) -> dict[str, str]:
        """Sign a request; without credentials on purpose, leave it as it is."""
        headers = dict(request.headers)
        if self._options.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if self._options.anonymous:
            return headers
        signed = AWSRequest(request.method, request.url, headers=headers)
        signed.context["sha256"] = request.sha256 or _UNSIGNED
        _Signer(self._current(), "s3", self.region).add_auth(signed)
        return dict(signed.headers.items())

    def refresh(self) -> None:
        """Look for credentials anew before the next request, also where none were to expire.

        A file of credentials that somebody else keeps fresh is read again.
        """
        with self._lock:
            session = self._filesystem.session
            self._filesystem.session = type(session)(**self._filesystem.kwargs)
            self._asked_at = -_FRESH_S

    def judge(self, request: Request, reply: Reply) -> None:
        """Accept an answer, or say what it means."""
        is_accepted = reply.status in request.accepts
        is_outside = reply.status == _OUTSIDE  # of the object, as far as the range goes
        if is_accepted and (not request.expects or request.expects in reply.headers or is_outside):
            return
        root, code, message, region = _read_error(reply)
        if is_accepted and root == request.expects:
            return
        if is_accepted and root != "Error":  # which S3 sends after a 200 where work took too long
            raise UnavailableError(
                f"{request.place}: {request.operation}: expected an answer of S3, got status"
                f" {reply.status} with {reply.data[:40]!r}"
            )
        is_elsewhere = reply.status in _ELSEWHERE and bool(region) and region != self.region
        if self._may_learn and is_elsewhere:
            self.region = region  # nobody named one: take the one that the service names
            raise UnavailableError(f"{request.place}: {request.operation}: expected {region}")
        code = code or f"status {reply.status}"
        words = f"{code}{f': {message}' if message else ''}"
        told = f"{request.place}: {request.operation}: S3 answered {words}"
        is_mute = request.method == "HEAD" and reply.status == _BAD_REQUEST  # no body to say why
        if code in _EXPIRED or (is_mute and not is_elsewhere):
            raise ExpiredError(told)
        is_strange = (
            reply.ok and root != "Error"
        )  # a success of another call, or of a server in between
        if is_strange or code in _PASSING or reply.status in _PASSING_STATUS:
            error = UnavailableError(told)
            error.retry_after = reply.retry_after
            raise error
        raise self._explain(request, reply, code, region, told)

    def _explain(
        self, request: Request, reply: Reply, code: str, region: str, told: str
    ) -> StoreError:
        if code in _CHECKSUM:
            return ChecksumError(told)
        if reply.status == _PRECONDITION_FAILED:
            return ConditionError(told)
        if reply.status == _NOT_FOUND and code != "NoSuchBucket":
            return MissingObjectError(f"{request.place}: expected an object, found none ({code})")
        if region and (code in _REGION or reply.status in _ELSEWHERE) and region != self.region:
            code = "PermanentRedirect"
            told = f"{told}: expected region {region!r}, got {self.region!r}"
        if code == "RequestTimeTooSkewed":
            told = f"{told} (its clock: {reply.headers.get('Date', 'unknown')})"
        return StoreError(told, hint=self._advise(request, code, region))

    def _advise(self, request: Request, code: str, region: str) -> str:
        """Say what a person can do about a refusal."""
        if code in _REGION and region:
            return f'set `region = "{region}"` in the destination'
        if code in {"AccessDenied", f"status {_FORBIDDEN}"}:
            pays = "" if self._options.requester_pays else ", or set `requester_pays = true`"
            return f"allow s3:{_permission(request.operation)} here{pays}"
        return _ADVICE.get(code, "")

    def _current(self) -> ReadOnlyCredentials:
        """Return credentials that are in force; s3fs renews them before they expire."""
        with self._lock:
            now = time.monotonic()
            if self._credentials is None or now - self._asked_at >= _FRESH_S:
                self._credentials = self._ask()
                self._asked_at = now
            return self._credentials

    def _ask(self) -> ReadOnlyCredentials:
        async def ask() -> Any:
            found = await self._filesystem.session.get_credentials()
            return found and await found.get_frozen_credentials()

        try:
            found: ReadOnlyCredentials | None = sync(self._filesystem.loop, ask)
        except BotoCoreError as error:
            raise StoreError(f"{self._bucket.url}: expected credentials, got: {error}") from error
        if found is None:
            raise _found_none(self._bucket)
        return found


class _Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore ships no types
    """Signs with the digest of the body that is known already, so that no body is read for it."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])


def parse_xml(data: bytes) -> ET.Element:
    """Parse an answer, its namespace left out. Entities are refused: S3 sends none."""
    if b"<!DOCTYPE" in data[:512].upper():
        raise ET.ParseError("an answer with a document type")
    # the one namespace of the whole is left out before: a page of a listing has 7,000 elements
    root = ET.fromstring(_NAMESPACE.sub(b"", data, count=1))  # noqa: S314  no entities: see above
    if root.tag.startswith("{"):
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def key_decoder(root: ET.Element) -> Callable[[str], str]:
    """Return what decodes the keys of a listing that was asked for with ``encoding-type=url``.

    A service that does not know the parameter does not say that it has kept it.
    """
    return unquote_plus if root.findtext("EncodingType") == "url" else str


def _found_none(bucket: Bucket) -> StoreError:
    return StoreError(
        f"{bucket.url}: expected AWS credentials, found none",
        hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID, or `anonymous = true`",
    )


def _read_error(reply: Reply) -> tuple[str, str, str, str]:
    """Return root element, error code, message and region of an answer, or "" for each."""
    region = reply.headers.get("x-amz-bucket-region", "")
    data = reply.data.lstrip()
    if not data.startswith(b"<"):
        return "", "", "", region
    try:
        root = parse_xml(data)
    except ET.ParseError:
        return "", "", "", region
    if root.tag != "Error":
        return root.tag, "", "", region
    message = " ".join((root.findtext("Message") or "").split())
    return "Error", root.findtext("Code") or "", message, root.findtext("Region") or region


def _permission(operation: str) -> str:
    names = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "CopyObject": "PutObject"}
    return names.get(operation, operation)


@cache
def _connect(
    anonymous: bool,  # noqa: FBT001  the arguments are the key of the cache
    profile: str,
    endpoint: str,
    region: str,
) -> tuple[s3fs.S3FileSystem, Any]:
    """Let s3fs find out who we are and where the service is; once for all buckets of it."""
    filesystem = s3fs.S3FileSystem(
        anon=anonymous,
        profile=profile or None,
        endpoint_url=endpoint or None,
        client_kwargs={"region_name": region} if region else {},
        skip_instance_cache=True,
    )
    return filesystem, filesystem.connect()


def _base_of(filesystem: s3fs.S3FileSystem, client: Any, bucket: str) -> str:
    """Return the URL of a bucket, as the ecosystem's own rules make it."""

    async def presign() -> str:
        return str(
            await client.generate_presigned_url(
                "head_object", Params={"Bucket": bucket, "Key": "k"}
            )
        )

    parts = urlsplit(sync(filesystem.loop, presign))
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/k')}"
