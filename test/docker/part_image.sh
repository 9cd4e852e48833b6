#!/usr/bin/env bash
# What is in the image, and the stage that tests it. Sourced by test/shell/docker.sh.

is "the label has the version" "$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' "$IMAGE")" \
    "$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$ROOT/immbackup.control")"
is "no compiler in it" "$(docker run --rm --entrypoint sh "$IMAGE" -c 'command -v gcc g++ make cmake; dpkg -l "*-dev" 2>/dev/null | grep -c ^ii')" 0
echo "# the image takes $(docker image inspect --format '{{.Size}}' "$IMAGE" | numfmt --to=si), its base $(docker image inspect --format '{{.Size}}' "$BASE" | numfmt --to=si)"

# Of its own tests, installcheck: the unit tests would be compiled once more. The build is that of the image.
if [ -z "${IMMBACKUP_TEST_IMAGE:-}" ]; then
    ok "the test stage: installcheck, where the image is built" build_stage test -t "$IMAGE-stage" --build-arg TESTS=installcheck
    docker image rm -f "$IMAGE-stage" >/dev/null 2>&1
else
    echo "# skipped: the test stage, since the image was not built here"
fi
