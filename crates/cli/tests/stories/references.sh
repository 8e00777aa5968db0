# A version, and a field that is the only one.
admin kv put secret/app/one key=first >/dev/null
admin kv put secret/app/one key=second >/dev/null
exits 0 leasehold run --env A='vault://secret/app/one?version=1#key' --env B=vault://secret/app/one -- sh -c 'echo "$A $B"'
answers_just 'first second'

# A namespace.
admin namespace create team1 >/dev/null
admin secrets enable -namespace=team1 -path=kv -version=2 kv >/dev/null
admin kv put -namespace=team1 -mount=kv db password=of-team1 >/dev/null
echo 'path "kv/*" { capabilities = ["read"] }' | admin policy write -namespace=team1 reader - >/dev/null
token=$(admin token create -namespace=team1 -policy=reader -field=token)
exits 0 env VAULT_TOKEN="$token" leasehold run --auth token --namespace team1 --env P=vault://kv/db#password -- sh -c 'echo "$P"'
answers_just of-team1
exits 0 env VAULT_TOKEN="$ROOT_TOKEN" leasehold run --auth token --env P='vault://kv/db?namespace=team1#password' -- sh -c 'echo "$P"'
answers_just of-team1
admin token revoke "$token" >/dev/null

# Our own environment, and files.
echo from-a-file >value
exits 0 env MINE=from-env leasehold run --env A=env://MINE --env B="file://$PWD/value" -- sh -c 'echo "$A $B"'
answers_just 'from-env from-a-file'

# A bad reference is shown with a caret under the place.
exits 125 leasehold run --env P='vault://secret/db?verzion=3#password' -- true
says 'the parameters are `version` and `namespace`'
says '  vault://secret/db?verzion=3#password'
says '                    ^'

# What is no reference may be the secret itself: it is not shown.
exits 125 leasehold run --env P=canary-literal -- true
! grep -q canary-literal "$HOME/said" || die 'it was shown'
nothing_left
