# What the examples for a shell share: where the API is, and how to call it. It is sourced by a script that has `fail`.

url=${SECA_URL:-http://127.0.0.1:8080}/providers
tenant=${SECA_TENANT:-dev} zone=${SECA_ZONE:-fsn1}
token_file=${SECA_TOKEN_FILE:-.dev/token}

# seca METHOD PATH [BODY]: the answer's body; what is refused ends the script with the reason. The token is in no argument.
seca() {
  local method=$1 path=$2 answer status
  answer=$(curl -sS -X "$method" -w '\n%{http_code}' -H @- "$url/$path" \
    ${3:+-H 'Content-Type: application/json' --data "$3"} <<<"Authorization: Bearer $(<"$token_file")")
  status=${answer##*$'\n'}
  answer=${answer%$'\n'*}
  case $status in
    2??) printf '%s\n' "$answer" ;;
    404) return 44 ;;
    *) fail "$method $path: $status $answer" ;;
  esac
}
