#!/bin/sh
# Builds the project's images, and pushes them: `make images REGISTRY=registry.example/team PUSH=1`. From the environment:
# REGISTRY (what goes before voicefleet/worker), TAG (the version), PLATFORM (linux/amd64,linux/arm64), PUSH (1), ONLY
# ("worker controller loadtest"), LOCK (requirements-local: a worker with the local models), BASE (another base image),
# BUILDER (docker, buildah or podman, with its options). Arguments are the builder's.
set -eu
cd "$(dirname "$0")/.."

fail() { printf '%s\n' "images: $*" >&2; exit 2; }

tag=${TAG:-$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)}
components=${ONLY:-worker controller loadtest}
builder=${BUILDER:-}
if [ -z "$builder" ]; then
    if docker info >/dev/null 2>&1; then builder=docker
    elif command -v buildah >/dev/null; then builder=buildah
    elif command -v podman >/dev/null; then builder=podman
    else fail "BUILDER: there is neither a docker that runs, nor buildah, nor podman. Install one of them."
    fi
fi
kind=$(basename "${builder%% *}")
case $kind in
    docker | buildah | podman) ;;
    *) fail "BUILDER = '$builder': not known. Use docker, buildah or podman." ;;
esac
case ${PUSH:-0} in
    0 | 1) ;;
    *) fail "PUSH = '$PUSH': is neither 1 nor 0. Write PUSH=1." ;;
esac
case ${REGISTRY:-} in
    *://* | *[A-Z\ ]*) fail "REGISTRY = '$REGISTRY': is no registry. Write registry.example/team." ;;
    '') [ "${PUSH:-0}" = 0 ] || fail "REGISTRY: is empty, and PUSH is 1. Write REGISTRY=registry.example/team." ;;
esac
case $kind-${PUSH:-0}-${PLATFORM:-} in
    docker-0-*,*) fail "PLATFORM = '$PLATFORM': docker keeps no image of several platforms. Write PUSH=1 too, or give one." ;;
esac
for component in $components; do
    [ -f "$component/Dockerfile" ] || fail "ONLY = '$component': not known. Use worker, controller or loadtest."
done

run() {
    # The builder may have options of its own.
    # shellcheck disable=SC2086
    $builder "$@" || fail "$kind ended with $? (see above)"
}

for component in $components; do
    name=${REGISTRY:+${REGISTRY%/}/}voicefleet/$component:$tag
    printf '%s\n' "images: $name${PLATFORM:+ for $PLATFORM}, with $kind"
    build() {
        run "$@" ${PLATFORM:+--platform "$PLATFORM"} ${BASE:+--build-arg "BASE=$BASE"} ${LOCK:+--build-arg "LOCK=$LOCK"} \
            --file "$component/Dockerfile" .
    }
    case $kind-${PUSH:-0}-${PLATFORM:-} in
        docker-1-*,*) build buildx build "$@" --push --tag "$name" ;;
        docker-*) build build "$@" --tag "$name" ;;
        *,*)
            # A list of that name would keep the images of the build before.
            $builder manifest rm "$name" >/dev/null 2>&1 || true
            build build "$@" --manifest "$name"
            [ "${PUSH:-0}" = 0 ] || run manifest push --all "$name" "docker://$name"
            continue
            ;;
        *) build build "$@" --tag "$name" ;;
    esac
    case $kind-${PUSH:-0}-${PLATFORM:-} in
        docker-1-*,*) ;;
        *-1-*) run push "$name" ;;
    esac
done
[ -z "${REGISTRY:-}" ] || printf '%s\n' "images: for helm: --set global.imageRegistry=${REGISTRY%/}${TAG:+ --set image.tag=$TAG}"
