# The settings, and where each comes from.
exits 0 leasehold config check
exits 0 leasehold config show --origin
answers "$VAULT_ADDR"
answers 'VAULT_ADDR'
! grep -qF -- "$VAULT_SECRET_ID" "$HOME/answered" || die 'the secret id was shown'

# The user's file, the environment above it, a flag above that.
mkdir -p "$HOME/.config/leasehold"
printf '[server]\naddress = "http://127.0.0.1:1"\nnamespace = "of-the-file"\n' >"$HOME/.config/leasehold/config.toml"
exits 0 leasehold config show --origin --namespace of-the-flag
answers 'of-the-flag'
answers "$VAULT_ADDR"
exits 0 leasehold config show --origin
answers 'config.toml:3'

# A file that is found in a working directory cannot name a server.
rm "$HOME/.config/leasehold/config.toml"
printf '[server]\naddress = "http://127.0.0.1:1"\n' >leasehold.toml
exits 2 leasehold config check
says 'leasehold.toml'

# All faults at once, each with its place.
printf '[profile.web]\nevn = { A = "vault://secret/db#x" }\non_change = "sometimes"\n' >leasehold.toml
exits 2 leasehold config check
says 'leasehold.toml:2'
says 'leasehold.toml:3'
