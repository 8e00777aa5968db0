# The exit code is the command's own, or says who failed.
run() {
    leasehold run --env P=vault://secret/db#password -- "$@"
}
exits 0 run true
exits 42 run sh -c 'exit 42'
exits 143 run sh -c 'kill -TERM $$'
exits 137 run sh -c 'kill -KILL $$'
exits 127 run no-such-command
says 'command not found: no-such-command'
exits 127 run ./no/such/file
echo '#!/bin/sh' >plain
exits 126 run ./plain
says 'chmod +x'
exits 126 run /
exits 125 leasehold run --env P=vault://secret/none#password -- true
exits 125 leasehold run --env P=nonsense -- true
exits 2 leasehold run --no-such-flag
exits 2 leasehold run
nothing_left
