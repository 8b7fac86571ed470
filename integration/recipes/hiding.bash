# An image whose entrypoint mounts over something that the executor has mounted.
from=bookworm
changes=('ENTRYPOINT ["/usr/local/bin/hiding"]')
