-- The random part of a connection's state, made if there is none, and the table if it is wanted.
-- KEYS: state, table. ARGV: a new random part, seconds to keep the state, whether the table is wanted.
local state = redis.call('GET', KEYS[1])
if state then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
else
  state = ARGV[1] .. ':'
  redis.call('SET', KEYS[1], state, 'EX', ARGV[2])
end
local part = string.match(state, '^%x+')
if ARGV[3] ~= '1' then
  return {part, false, 0}
end
return {part, redis.call('GET', KEYS[2]), redis.call('PTTL', KEYS[2])}
