-- Notes how many calls at once an origin or an account takes. More only on top of what the caller knew: what another has
-- found out meanwhile is newer. Fewer in any case.
-- KEYS: the number. ARGV: what the caller knew, what it makes of it, milliseconds for which that is remembered.
local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = tonumber(redis.call('GET', KEYS[1]) or from)
if to < from then
  to = math.min(known, to)
elseif known ~= from then
  return redis.status_reply('OK')
end
redis.call('SET', KEYS[1], to, 'PX', ARGV[3])
return redis.status_reply('OK')
