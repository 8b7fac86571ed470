# As buildah, with Debian's runc beside crun.
from=buildah
packages=(runc)
