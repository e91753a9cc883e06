-- Replaces the states of changed connections and notifies all replicas. A version that was announced already is not
-- announced again.
-- KEYS: states. ARGV: seconds to keep them, the channel; then for each state a new random part, the version, the message.
for place, state in ipairs(KEYS) do
  local part, version, message = ARGV[3 * place], ':' .. ARGV[3 * place + 1], ARGV[3 * place + 2]
  local known = redis.call('GET', state)
  if not known or string.sub(known, -#version) ~= version then
    redis.call('SET', state, part .. version, 'EX', ARGV[1])
    redis.call('PUBLISH', ARGV[2], message)
  end
end
return redis.status_reply('OK')
