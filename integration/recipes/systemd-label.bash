# An image that asks for systemd by its label alone, with a unit that fails.
from=systemd
changes=('CMD ["bash"]' 'LABEL io.gitlab-sysbox-executor.systemd=true')
