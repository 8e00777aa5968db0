# Log in, read, rotate, read again, revoke both: names of fields, no values.
exits 0 leasehold verify app secret/data/db
answers 'fields password, username'
answers 'rotate'
[ "$(grep -c '^revoke .*ok' "$HOME/answered")" = 2 ] || die 'not both tokens were revoked'
! grep -q canary "$HOME/answered" || die 'a value was shown'
nothing_left

exits 0 leasehold verify --json app secret/db
answers '"ok": true'

# The role must be the one that logs in.
exits 2 leasehold verify other-role secret/db
says 'the login is of the role app, not of other-role'
exits 4 leasehold verify app secret/other
answers 'failed'
nothing_left
