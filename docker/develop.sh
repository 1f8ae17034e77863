#!/bin/sh
# Runs a job from a source tree, as it stands: installs it so that every change counts at once
# (editable), then becomes `lading run`, so that signals reach the job.
#
#   docker build --target develop --tag lading:develop .
#   docker run --rm --init --user "$(id -u):$(id -g)" --volume "$PWD:/source" \
#       lading:develop NAME -- ARGS
#
# Without a container it is `SOURCE=. docker/develop.sh NAME -- ARGS`, in an environment with pip.
# All arguments are those of `lading run`. Variables:
#
#   SOURCE        folder of the pyproject.toml that is installed [default: /source]
#   EXTRAS        extras of it, with commas; "" for none [default: s3,gcs,jobs]
#   SKIP_INSTALL  1: run what is installed; for the second time, and for jobs beside a lading.toml
#                 that need no installation
set -eu

source=${SOURCE:-/source}
extras=${EXTRAS-s3,gcs,jobs}
skip=${SKIP_INSTALL:-0}

case $skip in
0 | 1) ;;
*)
    echo "ERROR: SKIP_INSTALL: expected 0 or 1, got '$skip'" >&2
    exit 78
    ;;
esac

if [ "$skip" = 0 ]; then
    if [ ! -f "$source/pyproject.toml" ]; then
        echo "ERROR: SOURCE: expected a folder with a pyproject.toml, got '$source';" \
            "mount one there, or say SKIP_INSTALL=1" >&2
        exit 78
    fi
    # on stderr: stdout is the job's log
    pip install --quiet --disable-pip-version-check --editable "$source${extras:+[$extras]}" >&2
fi

exec lading run "$@"
