# A service that says itself whether it is ready, seldom by its own choice, and exposes a port on
# which nobody ever answers.
from=bookworm
changes=('EXPOSE 9' 'CMD ["sh", "-c", "sleep ${READY_AFTER:-1}; touch /ready; trap exit TERM; sleep 1000 & wait"]' 'HEALTHCHECK --interval=60s CMD test -e /ready')
