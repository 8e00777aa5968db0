# What a killed run left behind is shown, and given back by the next one.
exits 0 leasehold journal
answers_just 'nothing is left'
leasehold run --env P=vault://secret/db#password -- sh -c 'touch started; exec sleep 60' &
wait_for started
kill -KILL $!
wait $! || true
exits 0 leasehold journal
answers 'token'
accessor=$(leasehold journal --json | sed -n 's/.*"name": "\(.*\)",/\1/p')
admin token lookup -accessor "$accessor" >/dev/null || die 'it should still live'

exits 0 leasehold run --env P=vault://secret/db#password -- true
! admin token lookup -accessor "$accessor" >/dev/null 2>&1 || die 'it should be dead'
nothing_left

# Or on demand.
rm started
leasehold run --env P=vault://secret/db#password -- sh -c 'touch started; exec sleep 60' &
wait_for started
kill -KILL $!
wait $! || true
exits 0 leasehold journal --revoke
answers_just 'nothing is left'
nothing_left

# What may not be revoked is said by its accessor, and changes no exit code.
rm started
echo 'path "secret/data/db" { capabilities = ["read"] }' | admin policy write app - >/dev/null
leasehold run --env P=vault://secret/db#password -- sh -c 'touch started; exec sleep 60' &
wait_for started
kill -KILL $!
wait $! || true
accessor=$(leasehold journal --json | sed -n 's/.*"name": "\(.*\)",/\1/p')
exits 0 leasehold run --env P=vault://secret/db#password -- true
says "$accessor"
says 'auth/token/revoke-accessor'
