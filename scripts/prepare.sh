# Sourced by the commands in this folder: makes sure that the pinned Node, the npm packages and the Debian packages a
# command needs are there, and says what it installs. Where it may not install, it prints the command and stops.
#
#   prepare_node             the system's Node when it is 24.15 or newer in the 24 line, else the pinned one in .runtime/
#   prepare_modules          installs, patches and builds the npm packages when node_modules does not match package-lock.json,
#                            patches/ and the Node in use
#   prepare_debian CMD:PKG…  installs Debian package PKG where command CMD, or file /CMD, is missing
#   prepare_clients          the programs and libraries of the client matrix (test/interop/clients)

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf '· %s\n' "$*" >&2; }
stop() { printf 'stopped: %s\n' "$*" >&2; exit 1; }

# Two commands started together in one checkout must not install over each other.
locked() {
  mkdir -p "$ROOT/.runtime"
  ( flock 9; "$@" ) 9>"$ROOT/.runtime/lock"
}

node_fits() { "$1" -e 'const [a,b]=process.versions.node.split(".").map(Number);process.exit(a===24&&b>=15?0:1)' 2>/dev/null; }

runtime_dir() { # the unpacked node-linux-* package, whatever this machine's processor is
  local found
  for found in "$ROOT"/.runtime/node_modules/node-linux-*; do [ -x "$found/bin/node" ] && printf '%s' "$found" && return 0; done
  return 1
}

fetch_runtime() {
  runtime_dir >/dev/null && cmp -s "$ROOT/scripts/runtime/package-lock.json" "$ROOT/.runtime/package-lock.json" && return 0
  say "fetching the pinned Node 24 from the npm registry into .runtime/ (about 190 MB)"
  cp "$ROOT/scripts/runtime/package.json" "$ROOT/scripts/runtime/package-lock.json" "$ROOT/.runtime/"
  npm ci --prefix "$ROOT/.runtime" --ignore-scripts --no-fund --no-audit --loglevel=error >&2 ||
    { rm -f "$ROOT/.runtime/package-lock.json"; return 1; }
}

prepare_node() {
  command -v npm >/dev/null || stop "npm is missing. Install it with: apt-get install nodejs npm"
  local system; system=$(command -v node || true)
  if [ -n "$system" ] && node_fits "$system"; then NODE=$system; return 0; fi
  locked fetch_runtime || stop "the pinned Node could not be fetched; try: npm ci --prefix .runtime --ignore-scripts"
  local dir; dir=$(runtime_dir) || stop "no pinned Node for this processor ($(uname -m)); install Node >= 24.15 (24 line) yourself"
  NODE=$dir/bin/node
  PATH=$dir/bin:$PATH
  # Native add-ons must be built against the headers of the Node that runs them, whatever the user's npm configuration says.
  export PATH npm_config_nodedir=$dir
}

# Sources are run as they are; what the runtime makes of them is kept, so that commands start twice as fast.
export NODE_COMPILE_CACHE=$ROOT/.runtime/compile-cache

# Contents pass through in large short-lived buffers. A small young generation and few allocator arenas free them soon, blocks
# of contents get pages of their own, and what is free at the end of an arena is given back, and the node itself asks for a collection
# when much is dead: this keeps a node's memory flat. The service units set the same.
export MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=229376 MALLOC_TRIM_THRESHOLD_=4194304
case " ${NODE_OPTIONS:-} " in *--max-semi-space-size*) ;; *) export NODE_OPTIONS="${NODE_OPTIONS:-} --max-semi-space-size=2 --expose-gc" ;; esac

modules_stamp() {
  printf '%s %s' "$("$NODE" -p 'process.version+process.arch')" "$(cat "$ROOT/package-lock.json" "$ROOT"/patches/*/*.patch | sha256sum)"
}

# ssh2's native cipher code is compiled at install; without a compiler it runs in JavaScript, several times slower.
prefer_compiler() {
  command -v g++ >/dev/null && command -v make >/dev/null && command -v python3 >/dev/null && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    prepare_debian g++:g++ make:make python3:python3
  else
    say "no C++ compiler: SSH ciphers will run in JavaScript, several times slower; as root: apt-get install g++ make python3"
  fi
}

# patches/NAME@VERSION/*.patch are for exactly that version of the npm package; another one has to be looked at first.
patch_modules() {
  local folder package version patch
  prepare_debian patch:patch
  for folder in "$ROOT"/patches/*@*; do
    package=$(basename "${folder%@*}") version=${folder##*@}
    [ "$("$NODE" -p 'require(process.argv[1]).version' "$ROOT/node_modules/$package/package.json")" = "$version" ] ||
      { say "patches/$package@$version is not for the $package that package-lock.json names"; return 1; }
    for patch in "$folder"/*.patch; do
      patch --batch --forward --fuzz=0 --silent -p1 -d "$ROOT/node_modules/$package" <"$patch" >&2 ||
        { say "patches/$package@$version/$(basename "$patch") does not apply"; return 1; }
    done
  done
}

install_modules() {
  [ "$(cat "$ROOT/node_modules/.sallyport-stamp" 2>/dev/null)" = "$(modules_stamp)" ] && return 0
  prefer_compiler
  say "installing the npm packages of package-lock.json into node_modules/"
  (cd "$ROOT" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >&2) || return 1
  patch_modules || return 1
  (cd "$ROOT" && npm rebuild --loglevel=error >&2) || return 1
  modules_stamp >"$ROOT/node_modules/.sallyport-stamp"
}

prepare_modules() { locked install_modules || stop "the npm packages could not be installed; the lines above say why"; }

prepare_debian() {
  local pair missing=()
  for pair in "$@"; do
    case $pair in
      /*) [ -e "${pair%%:*}" ] || missing+=("${pair#*:}") ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local command="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then stop "these Debian packages are missing; as root run: $command"; fi
  say "installing Debian packages: ${missing[*]}"
  local log; log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  # A container's or test machine's policy must not start the services of the peers that we only run by hand.
  { apt-get update -qq && $command; } >"$log" 2>&1 || { tail -n 20 "$log" >&2; stop "could not install; as root run: $command"; }
  rm -f "$log"
}
export PATH=$PATH:/usr/sbin:/sbin

prepare_clients() {
  local python=/usr/lib/python3/dist-packages
  prepare_debian sftp:openssh-client ssh-keygen:openssh-client setpriv:util-linux lftp:lftp curl:curl rclone:rclone \
    psftp:putty-tools sshfs:sshfs "$python/paramiko:python3-paramiko" "$python/asyncssh:python3-asyncssh"
}
