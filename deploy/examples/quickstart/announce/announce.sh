# The event is on stdin, its headers are in the environment.
printf 'heard on %s: %s\n' "$Http_X_Topic" "$(cat)"
