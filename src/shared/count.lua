-- Counts one, unless the limit is reached.
-- KEYS: the counter. ARGV: the limit, the milliseconds of a window.
-- Answers {1 or 0, milliseconds left, the window's name}.
local window = redis.call('HGET', KEYS[1], 'window')
if not window then
  local time = redis.call('TIME')
  window = time[1] .. '.' .. time[2]
  redis.call('HSET', KEYS[1], 'window', window, 'count', 0)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local left = math.max(1, redis.call('PTTL', KEYS[1]))
if tonumber(redis.call('HGET', KEYS[1], 'count')) >= tonumber(ARGV[1]) then
  return {0, left, window}
end
redis.call('HINCRBY', KEYS[1], 'count', 1)
return {1, left, window}
