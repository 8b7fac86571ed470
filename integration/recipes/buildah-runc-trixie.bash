# As buildah-trixie, with Debian's runc beside crun.
from=buildah-trixie
packages=(runc)
