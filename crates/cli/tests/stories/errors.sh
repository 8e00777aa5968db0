# One sentence that says what happened and where, and a hint.
run() {
    leasehold run --env "P=$1" -- true
}
exits 125 run vault://secret/db#pasword
says 'vault://secret/db has no field `pasword`'
says 'its fields are: password, username'
exits 125 run vault://secret/db
says 'does not say which field'
exits 125 run vault://secret/app/none#x
says 'secret/app/none'
exits 125 run vault://secret/other#x
says 'path "secret/data/other" { capabilities = ["read"] }'
exits 125 run vault://nowhere/db#x
says 'nowhere/db'
exits 125 run 'vault://kv1/db?version=2#password'
says 'version 1'

# A deleted version.
admin kv put secret/app/gone key=value >/dev/null
admin kv delete secret/app/gone >/dev/null
exits 125 run vault://secret/app/gone#key
says 'deleted'

# A wrong login, a wrong server, no server, the wrong protocol, a sealed server.
exits 125 env VAULT_SECRET_ID=wrong leasehold run --env P=vault://secret/db#password -- true
says 'approle'
exits 125 env VAULT_ADDR=http://127.0.0.1:1 leasehold run --env P=vault://secret/db#password -- true
says 'cannot reach http://127.0.0.1:1: connection refused'
exits 125 env VAULT_ADDR=http://no-such-host.invalid:8200 leasehold run --env P=vault://secret/db#password -- true
says 'its name cannot be resolved'
exits 125 env VAULT_ADDR="https${VAULT_ADDR#http}" leasehold run --env P=vault://secret/db#password -- true
says 'does not speak TLS'
nothing_left
admin operator seal >/dev/null
exits 125 run vault://secret/db#password
says 'sealed'
