# Redis as a service, with redis-cli for the jobs that ask it.
from=bookworm
packages=(redis-server redis-tools)
changes=('EXPOSE 6379' 'CMD ["redis-server", "--bind", "*", "--protected-mode", "no", "--save", ""]')
