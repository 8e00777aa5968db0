# A command gets its secret, and when it has ended, nothing is left.
exits 0 leasehold run --env DB_PASSWORD=vault://secret/db#password -- sh -c 'echo "got $DB_PASSWORD"'
answers_just 'got canary-one'
nothing_left

# Both ways to write the path, and both versions of KV.
exits 0 leasehold run --env A=vault://secret/data/db#password --env B=vault://kv1/db#password -- sh -c 'echo "$A $B"'
answers_just 'canary-one canary-v1'

# All fields of a secret, named in upper case.
exits 0 leasehold run --env-from vault://secret/db -- sh -c 'echo "$USERNAME $PASSWORD"'
answers_just 'app canary-one'

# Standard input, output and error are the command's own.
echo through | leasehold run --env P=vault://secret/db#password -- cat >"$HOME/answered"
answers_just through
exits 0 leasehold run --env P=vault://secret/db#password -- sh -c 'echo loud >&2'
says loud

# The token lives while the command runs, and is dead within a second of its end.
exits 0 leasehold run --env P=vault://secret/db#password -- sh -c '
    VAULT_TOKEN=$ROOT_TOKEN bao list -format=json auth/token/accessors'
[ "$(grep -c '"' "$HOME/answered")" = 2 ] || die "the token does not live while the command runs"
nothing_left
