-- Takes one back, if it was counted in the window that still runs.
-- KEYS: the counter. ARGV: the window's name.
if redis.call('HGET', KEYS[1], 'window') == ARGV[1] and tonumber(redis.call('HGET', KEYS[1], 'count')) > 0 then
  redis.call('HINCRBY', KEYS[1], 'count', -1)
end
return redis.status_reply('OK')
