# As escape, with the Buildah and Podman of Debian 13.
# shellcheck source=integration/recipes/escape.bash
. "$recipes/escape.bash"
from=buildah-trixie
