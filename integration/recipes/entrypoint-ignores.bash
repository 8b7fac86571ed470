# An entrypoint that pays no heed to the command it is given.
from=bookworm
changes=('ENTRYPOINT ["/usr/local/bin/entrypoint"]' 'CMD ["bash"]')
