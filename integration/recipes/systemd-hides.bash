# systemd with a unit that mounts over /run/secrets at boot.
from=systemd
changes=('CMD ["/sbin/init"]')
