-- Has an account left alone for a time, unless that is to last longer already.
-- KEYS: the quiet of the account. ARGV: milliseconds.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  local time = redis.call('TIME')
  redis.call('SET', KEYS[1], string.format('%.0f', time[1] * 1000000 + time[2]), 'PX', ARGV[1])
end
return redis.status_reply('OK')
