# As buildah, with a registry to push to.
from=buildah
packages=(docker-registry)
