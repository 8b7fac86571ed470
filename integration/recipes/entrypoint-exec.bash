# An entrypoint that prepares an environment and then becomes the command it is given.
from=bookworm
changes=('ENTRYPOINT ["/usr/local/bin/entrypoint"]' 'CMD ["bash"]')
