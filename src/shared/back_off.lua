-- Has an account left alone for a time, or as long as it is to be left alone already. Whichever lasts longer, the back-off
-- is a new one: who broke the one before does not end it.
-- KEYS: the back-off of the account. ARGV: milliseconds.
local time = redis.call('TIME')
local lasting = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), 'PX', string.format('%.0f', lasting))
return redis.status_reply('OK')
