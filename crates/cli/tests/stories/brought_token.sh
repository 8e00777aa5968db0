# A token that the caller brought is used and not revoked.
token=$(admin token create -policy=app -ttl=10m -field=token)
unset VAULT_ROLE_ID VAULT_SECRET_ID
exits 0 env VAULT_TOKEN="$token" leasehold run --env P=vault://secret/db#password -- sh -c 'echo "$P"; env'
answers canary-one
! grep -qF -- "$token" "$HOME/answered" || die 'the token reached the command'
VAULT_TOKEN="$token" bao token lookup >/dev/null || die 'the token was revoked'

# It is found in ~/.vault-token too.
echo "$token" >"$HOME/.vault-token"
exits 0 leasehold get vault://secret/db#password
answers_just canary-one

# A dead one is said to be dead.
admin token revoke "$token" >/dev/null
exits 3 leasehold get vault://secret/db#password
says 'the token is not valid'

# And where there is none, what can be done is said.
rm "$HOME/.vault-token"
exits 3 leasehold get vault://secret/db#password
says 'hint:'
nothing_left
