# Two fields of one dynamic secret come from one lease, and it is gone at the end.
exits 0 leasehold run --env PGUSER=vault://database/creds/app#username --env PGPASSWORD=vault://database/creds/app#password -- sh -c '
    VAULT_TOKEN=$ROOT_TOKEN bao list -format=json sys/leases/lookup/database/creds/app | grep -c \" >leases
    psql "$(echo "$PGURL" | sed "s,//[^@]*@,//$PGUSER:$PGPASSWORD@,")" -Atc "select current_user"'
answers 'v-token-le-app'
[ "$(cat leases)" = 1 ] || die "$(cat leases) leases, not one"
user=$(cat "$HOME/answered")
gone() {
    [ "$(psql "$PGURL" -Atc "select count(*) from pg_roles where rolname = '$user'")" = 0 ]
}
soon gone
nothing_left

# A single command that prints it would end its lease: that is said.
exits 2 leasehold get vault://database/creds/app#username
says 'is dynamic and would end with this command'
nothing_left
