# As buildah, with ranges of user IDs as moby/buildkit:rootless has them, beyond those of a container.
from=buildah
changes=('USER builder')

setup() { echo builder:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"; }
