# An image that puts a program of its own in the place of the executor's agent. The variable HOSTILE
# says what that program does.
from=bookworm
changes=('ENTRYPOINT ["/usr/local/bin/hostile"]' 'CMD ["sleep", "1000"]')
