# The command has what was asked for and our environment, without the login.
export KEPT=yes
exits 0 leasehold run --env P=vault://secret/db#password -- env
answers 'KEPT=yes'
answers 'P=canary-one'
answers 'VAULT_ADDR='
! grep -qE '^(VAULT|BAO)_(TOKEN|ROLE_ID|SECRET_ID)=' "$HOME/answered" || die 'the login reached the command'

# Unless that is wanted.
exits 0 leasehold run --keep-login --env P=vault://secret/db#password -- env
answers 'VAULT_SECRET_ID='

# No secret is in an argument list while the command runs. Processes of others may end while the list is read.
tr -dc a-z </dev/urandom | head -c 20 >value
admin kv put secret/app/own password=- <value >/dev/null
exits 0 leasehold run --env P=vault://secret/app/own#password -- sh -c \
    'printf %s "$P" | cmp - value || exit; cat /proc/[0-9]*/cmdline 2>/dev/null || :'
printf %s "$VAULT_SECRET_ID" >secret-id
grep -aqF 'P=vault://secret/app/own#password' "$HOME/answered" || die 'our own arguments were not read'
! grep -aqF -f value "$HOME/answered" || die 'the secret is in an argument list'
! grep -aqF -f secret-id "$HOME/answered" || die 'the secret id is in an argument list'

# Nor in anything that is said, however much is asked for.
exits 125 leasehold run -vv --log-format json --env P=vault://secret/db#passwort -- true
! grep -qE -- "canary-one|$VAULT_SECRET_ID" "$HOME/said" || die 'a secret was said'
says '"kind":"not_found"'

# Two secrets that would be the same variable are a mistake.
exits 125 leasehold run --env-from vault://secret/db --env PASSWORD=vault://kv1/db#password -- true
says 'two secrets would be the variable PASSWORD'
nothing_left
