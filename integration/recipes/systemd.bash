# systemd as the first process, with units of its own that a container cannot run.
from=bookworm
packages=(systemd systemd-sysv dbus udev)
changes=('CMD ["/sbin/init"]')
