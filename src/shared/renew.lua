-- Makes leases last from now on. One that is gone stays gone: its call has ended.
-- KEYS: the set of each lease. ARGV: milliseconds, then the name of each lease.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease = tonumber(ARGV[1])
for place, set in ipairs(KEYS) do
  redis.call('ZADD', set, 'XX', now + lease * 1000, ARGV[1 + place])
  redis.call('PEXPIRE', set, lease)
end
return redis.status_reply('OK')
