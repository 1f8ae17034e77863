"""What kubectl writes when it fails, from 1.20 to 1.33, and what is made of it."""

import pytest

from lading.services.kubectl_answers import Fault, Kind, parse_faults, parse_warnings

ADVICE = """\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
"""
ONE = 'Apply failed with 1 conflict: conflict with "kubectl-patch" using batch/v1: .spec.suspend\n'
TWO = (
    'Apply failed with 3 conflicts: conflicts with "flux" using batch/v1 at'
    " 2026-01-02T03:04:05Z:\n"
    '- .spec.jobTemplate.spec.template.spec.containers[name="main"].image\n'
    'conflicts with "kubectl-edit" with subresource "status" using batch/v1:\n'
    "- .spec.suspend\n- .spec.schedule\n"
)
MANY = (
    'Warning: metadata.name: this is used in the Pod names; "." is not recommended\n'
    f"{ONE}{ADVICE}"
    'Error from server (Invalid): CronJob.batch "b" is invalid: [metadata.name: Invalid value:'
    ' "b": must be no more than 52 characters, spec.schedule: Invalid value: "x": bad]\n'
    f"{TWO}{ADVICE}"
    'Error from server (Forbidden): cronjobs.batch "f" is forbidden: User "bot" cannot patch'
    ' resource "cronjobs" in API group "batch" in the namespace "data"\n'
    'Error from server (BadRequest): CronJob in version "v1" cannot be handled as a CronJob:'
    ' strict decoding error: unknown field "spec.foo"\n'
    "Error from server: failed to create typed patch object (data/e; batch/v1, Kind=CronJob):"
    " .spec.foo: field not declared in schema\n"
)


def one(stderr: str) -> Fault:
    """Return the only fault of a text."""
    (found,) = parse_faults(stderr)
    return found


@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        (
            (
                "The connection to the server 10.0.0.1:6443 was refused - did you specify the right"
                " host or port?\n"
            ),
            Kind.DOWN,
            (
                "expected to reach the cluster, got The connection to the server 10.0.0.1:6443 was"
                " refused"
            ),
        ),
        (
            (
                "E0730 04:00:00.000000    1 memcache.go:265] couldn't get current server API group"
                ' list: Get "https://10.0.0.1": dial tcp 10.0.0.1:443: connect:'
                " connection refused\n"
                "Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout\n"
            ),
            Kind.DOWN,
            (
                "expected to reach the cluster, got Unable to connect to the server: dial tcp"
                " 10.0.0.1:443: i/o timeout"
            ),
        ),
        (
            (
                "Unable to connect to the server: dial tcp: lookup c.invalid on"
                " 10.0.0.2:53: no such"
                " host\n"
            ),
            Kind.REFUSED,
            (
                "expected to reach the cluster, got Unable to connect to the server:"
                " dial tcp: lookup"
                " c.invalid on 10.0.0.2:53: no such host"
            ),
        ),
        (
            "Unable to connect to the server: net/http: TLS handshake timeout\n",
            Kind.DOWN,
            (
                "expected to reach the cluster, got Unable to connect to the server: net/http: TLS"
                " handshake timeout"
            ),
        ),
        (
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509:"
                " certificate signed by unknown authority\n"
            ),
            Kind.REFUSED,
            (
                "expected to reach the cluster, got Unable to connect to the server: tls: failed to"
                " verify certificate: x509: certificate signed by unknown authority"
            ),
        ),
        (
            (
                "Unable to connect to the server: context deadline exceeded"
                " (Client.Timeout exceeded"
                " while awaiting headers)\n"
            ),
            Kind.LOST,
            (
                "expected an answer, got Unable to connect to the server: context deadline exceeded"
                " (Client.Timeout exceeded while awaiting headers)"
            ),
        ),
        ("Unable to connect to the server: EOF\n", Kind.LOST, None),
        (
            (
                'error: Get "https://c/apis": read tcp 10.0.0.3:1->10.0.0.1:443: read: connection'
                " reset by peer\n"
            ),
            Kind.LOST,
            None,
        ),
        ("Error from server: etcdserver: leader changed\n", Kind.LOST, None),
        ("Error from server: apiserver is shutting down\n", Kind.LOST, None),
        (
            (
                "Error from server (ServiceUnavailable): the server is currently unable"
                " to handle the"
                " request\n"
            ),
            Kind.LOST,
            "expected an answer, got the server is currently unable to handle the request",
        ),
        (
            (
                'error: error validating "STDIN": error validating data: the server is currently'
                " unable to handle the request; if you choose to ignore these errors,"
                " turn validation"
                " off with --validate=false\n"
            ),
            Kind.LOST,
            (
                'expected an answer, got error validating "STDIN": error validating'
                " data: the server"
                " is currently unable to handle the request"
            ),
        ),
        (
            "Error from server (TooManyRequests): Too many requests, please try again later.\n",
            Kind.LOST,
            None,
        ),
        (
            (
                "Error from server (Timeout): Timeout: request did not complete within requested"
                " timeout - context deadline exceeded\n"
            ),
            Kind.LOST,
            None,
        ),
        (
            (
                "Error from server (InternalError): Internal error occurred: failed calling webhook"
                ' "x.y.io": failed to call webhook: context deadline exceeded\n'
            ),
            Kind.LOST,
            None,
        ),
        (
            (
                'Error from server (InternalError): an error on the server ("<html>\\n502 Bad'
                ' Gateway</html>") has prevented the request from succeeding\n'
            ),
            Kind.LOST,
            None,
        ),
        (
            (
                'Error from server (Conflict): Operation cannot be fulfilled on cronjobs.batch "x":'
                " the object has been modified; please apply your changes to the latest version\n"
            ),
            Kind.LOST,
            None,
        ),
        (
            'Error from server (AlreadyExists): cronjobs.batch "x" already exists\n',
            Kind.LOST,
            None,
        ),
        (
            'error: context "missing" does not exist\n',
            Kind.REFUSED,
            "expected the context in the kubeconfig, found none",
        ),
        (
            "error: You must be logged in to the server (Unauthorized)\n" * 2,
            Kind.REFUSED,
            "expected to be logged in, got You must be logged in to the server (Unauthorized)",
        ),
        (
            (
                "error: You must be logged in to the server (the server has asked for the client to"
                " provide credentials)\n"
            ),
            Kind.REFUSED,
            None,
        ),
        ("error: EOF\n", Kind.REFUSED, "expected to be logged in, got no credentials"),
        (
            "error: error reading input for Password\n",
            Kind.REFUSED,
            "expected to be logged in, got no credentials",
        ),
        (
            (
                "+ token=abc\nerror: the plugin's own\nUnable to connect to the server: getting"
                " credentials: exec: executable cloud-login failed with exit code 3\n"
            ),
            Kind.REFUSED,
            (
                "expected to be logged in, got getting credentials: exec: executable cloud-login"
                " failed with exit code 3"
            ),
        ),
        (
            (
                "Unable to connect to the server: getting credentials: exec: executable cloud-login"
                " not found\n\nIt looks like you are trying to use a client-go"
                " credential plugin that"
                " is not installed.\n\nTo learn more about this feature, consult the documentation"
                " available at:\n      https://kubernetes.io/docs\n\nget it at x\n"
            ),
            Kind.REFUSED,
            (
                "expected to be logged in, got getting credentials: exec: executable"
                " cloud-login not"
                " found"
            ),
        ),
        (
            'Error from server (NotFound): cronjobs.batch "x" not found\n',
            Kind.ABSENT,
            "expected the CronJob, found none",
        ),
        (
            'Error from server (NotFound): jobs.batch "x" not found\n',
            Kind.ABSENT,
            "expected the Job, found none",
        ),
        (
            (
                'Error from server (AlreadyExists): error when creating "STDIN": jobs.batch "x"'
                " already exists\n"
            ),
            Kind.EXISTS,
            "expected no Job of that name, found one",
        ),
        (
            'Error from server (AlreadyExists): cronjobs.batch "x" already exists\n',
            Kind.LOST,
            'expected an answer, got cronjobs.batch "x" already exists',
        ),
        (
            'The Job "x" is invalid: metadata.name: Invalid value: "x": too long\n',
            Kind.INVALID,
            'refused: metadata.name: Invalid value: "x": too long',
        ),
        (
            (
                'Error from server (Forbidden): error when creating "STDIN": jobs.batch "x" is'
                " forbidden: exceeded quota: q\n"
            ),
            Kind.INVALID,
            'refused: jobs.batch "x" is forbidden: exceeded quota: q',
        ),
        (
            'Error from server (NotFound): namespaces "data" not found\n',
            Kind.REFUSED,
            "expected the namespace data, found none",
        ),
        (
            "Error from server (NotFound): the server could not find the requested resource\n",
            Kind.REFUSED,
            "expected the API batch/v1, got the server could not find the requested resource",
        ),
        (
            (
                'error: resource mapping not found for name: "a" namespace: "" from "STDIN": no'
                ' matches for kind "CronJob" in version "batch/v1"\nensure CRDs are'
                " installed first\n"
            ),
            Kind.REFUSED,
            (
                'expected the API batch/v1, got resource mapping not found for name: "a" namespace:'
                ' "" from "STDIN": no matches for kind "CronJob" in version "batch/v1"'
            ),
        ),
        (
            "Error from server (Expired): The provided continue parameter is too old\n",
            Kind.EXPIRED,
            None,
        ),
        (
            (
                'The CronJob "d" is invalid: \n* metadata.name: Invalid value: "d": too long\n'
                '* spec.schedule: Invalid value: "x": bad\n'
            ),
            Kind.INVALID,
            (
                'refused: metadata.name: Invalid value: "d": too long; spec.schedule:'
                " Invalid value:"
                ' "x": bad'
            ),
        ),
        (
            'Error from server (Forbidden): cronjobs.batch "f" is forbidden: exceeded quota: q\n',
            Kind.INVALID,
            'refused: cronjobs.batch "f" is forbidden: exceeded quota: q',
        ),
        (
            (
                'Error from server (BadRequest): admission webhook "v.io" denied the request: timed'
                " out images\n"
            ),
            Kind.INVALID,
            'refused: admission webhook "v.io" denied the request: timed out images',
        ),
        ("error: batch/v1, Kind=CronJob doesn't support dry-run\n", Kind.REFUSED, None),
        (
            "error: unknown flag: --server-side\n",
            Kind.REFUSED,
            "refused: unknown flag: --server-side",
        ),
        ("out of words\nlast words\n", Kind.REFUSED, "refused: last words"),
        ("", Kind.LOST, "expected an answer, got nothing"),
        ("Error from server: \n", Kind.LOST, "expected an answer, got an error in no words"),
    ],
)
def test_one_line_each(stderr: str, kind: Kind, words: str | None) -> None:
    """What kubectl says becomes one fault of one line, without noise and advice."""
    found = one(stderr)

    assert found.kind is kind
    assert found.text == (words or found.text)
    assert "\n" not in found.text
    assert found.passes is (kind in {Kind.DOWN, Kind.LOST})


def test_a_set() -> None:
    """Each object's fault stands for itself, in order, named where kubectl names it."""
    found = parse_faults(MANY)

    assert [(each.kind, each.name, each.status) for each in found] == [
        (Kind.CONFLICT, "", 409),
        (Kind.INVALID, "b", 422),
        (Kind.CONFLICT, "", 409),
        (Kind.REFUSED, "", 403),
        (Kind.INVALID, "", 400),
        (Kind.INVALID, "e", 422),
    ]
    assert found[0].held == ((".spec.suspend", "kubectl-patch"),)
    image = '.spec.jobTemplate.spec.template.spec.containers[name="main"].image'
    assert found[2].held == (
        (image, "flux"),
        (".spec.suspend", "kubectl-edit"),
        (".spec.schedule", "kubectl-edit"),
    )
    assert not any("force-conflicts" in each.text + each.hint for each in found)


@pytest.mark.parametrize("text", [ONE, ADVICE.join([ONE, ""]), f"error: {ONE}{ADVICE}"])
def test_conflict_of_one(text: str) -> None:
    """A conflict is read with and without kubectl's prefix and advice."""
    assert one(text).held == ((".spec.suspend", "kubectl-patch"),)


def test_conflict_in_new_words() -> None:
    """A conflict in words that nobody knows yet is no success, and told as it is."""
    found = one("error: Apply failed with 1 conflict: in a new way\n")

    assert found.kind is Kind.INVALID
    assert found.text == "refused: Apply failed with 1 conflict: in a new way"


def test_forbidden() -> None:
    """What an account may not do is told with the rule that it needs."""
    found = parse_faults(MANY)[3]

    assert found.text == (
        "expected bot to be allowed to patch cronjobs.batch in the namespace data, got forbidden"
    )
    assert found.hint == (
        'it needs a Role with apiGroups: ["batch"], resources: ["cronjobs"], verbs: ["patch"]'
    )


def test_long_answers_are_cut() -> None:
    """A proxy's whole page does not fill the screen."""
    found = one("error: an error on the server (" + "<p>" * 9000)

    assert len(found.text) == 600
    assert found.text.endswith("…")


def test_warnings() -> None:
    """Warnings of the API are kept once; kubectl's own notes on its pace are not."""
    throttled = (
        "I0101 00:00:00.000000    1 request.go:690] Waited for 1.1s due to client-side"
        " throttling, not priority and fairness, request: GET:https://c/apis\n"
    )
    stderr = f"{throttled}Warning: a\nWarning: b\nWarning: a\n"

    assert parse_warnings(stderr) == ["a", "b"]
    assert parse_warnings(throttled) == []
    assert one(f"{throttled}error: context was not found\n").kind is Kind.REFUSED
