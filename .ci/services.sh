# shellcheck shell=bash disable=SC2154 # $scratch is a directory of the script that sources this
# What the tests and the benchmarks of backends and registries need: Docker, a registry, a Kubernetes.

dockerd_pid=
registry_pid=
cluster=
start_services() {
    local port=5217
    if ! docker info >/dev/null 2>&1; then
        dockerd >"$scratch/dockerd.log" 2>&1 &
        dockerd_pid=$!
        wait_for 60 'Docker' docker info || return
    fi
    docker version --format 'Docker Engine {{.Server.Version}}'
    mkdir -p "$scratch/registry"
    cat >"$scratch/registry.yml" <<EOF
version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: "$scratch/registry" }, delete: { enabled: true } }
http: { addr: "127.0.0.1:$port" }
EOF
    docker-registry serve "$scratch/registry.yml" >"$scratch/registry.log" 2>&1 &
    registry_pid=$!
    wait_for 30 'the registry' curl --silent --fail --output /dev/null "http://127.0.0.1:$port/v2/" || return
    cluster=$scratch/cluster
    tests/kubernetes/cluster start "$cluster" --registry "127.0.0.1:$port" || return
    export SKEW_TEST_REGISTRY=127.0.0.1:$port SKEW_TEST_KUBECONFIG=$cluster/skew.kubeconfig
}

wait_for() { # SECONDS WHAT COMMAND…
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || { echo "$what is not there" >&2; return 1; }
        sleep 0.2
    done
}

stop_services() {
    [[ -z $cluster ]] || tests/kubernetes/cluster stop "$cluster" || true
    [[ -z $registry_pid ]] || kill "$registry_pid" || true
    [[ -z $dockerd_pid ]] || { kill "$dockerd_pid"; wait "$dockerd_pid"; } || true
    cluster='' registry_pid='' dockerd_pid=''
}
