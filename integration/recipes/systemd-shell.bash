# systemd as many images start it, which Sysbox does not see.
from=systemd
changes=('CMD ["sh", "-c", "exec /sbin/init"]')
