-- Takes a place of an origin and of an account, and a moment at which the pace of both allows the call.
-- KEYS: places of the origin, of the account; pace of the origin, of the account; the back-off of the account; how many
--       places the origin has, and the account, where that was found out.
-- ARGV: name of the lease, its milliseconds, the longest wait in microseconds;
--       then for origin and account: places, as the caller knows, microseconds between calls (0: no pace), calls at once;
--       1 if the call heeds a back-off, else 0; 1 if it leaves half of the places free, else 0;
--       milliseconds for which the numbers of places are remembered.
-- Answers {0, wait, the back-off it goes through or 0}; {1, 0, 0}: the origin is full; {2, 0, 0}: the account is full;
-- {3, wait, 0}: that would be too late; {4, wait, 0}: the account is to be left alone for so long. Each ends in the numbers
-- of places that were found out, 0 where none was.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease = tonumber(ARGV[2])

local function known(key)
  redis.call('PEXPIRE', key, ARGV[12])
  return tonumber(redis.call('GET', key) or 0)
end

local at_origin, at_account = known(KEYS[6]), known(KEYS[7])

local function full(places, own, shared)
  local most = shared > 0 and shared or tonumber(own)
  if ARGV[11] == '1' then
    most = most - math.floor(most / 2)
  end
  redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
  return redis.call('ZCARD', places) >= most
end

-- The time at which the schedule will be after this call, and how long the call has to wait.
local function schedule(pace, interval, burst)
  local due = math.max(tonumber(redis.call('GET', pace) or now), now)
  return due + interval, math.max(0, due - (burst - 1) * interval - now)
end

local back_off = redis.call('GET', KEYS[5]) or '0'
local left = redis.call('PTTL', KEYS[5])
if left > 0 and ARGV[10] == '1' then
  return {4, left * 1000, '0', at_origin, at_account}
end

-- The account first: who waits for that stands in nobody else's way.
if full(KEYS[2], ARGV[7], at_account) then
  return {2, 0, '0', at_origin, at_account}
end
if full(KEYS[1], ARGV[4], at_origin) then
  return {1, 0, '0', at_origin, at_account}
end

local longest = 0
local schedules = {}
for place = 1, 2 do
  local interval, burst = tonumber(ARGV[2 + 3 * place]), tonumber(ARGV[3 + 3 * place])
  if interval > 0 then
    local due, wait = schedule(KEYS[2 + place], interval, burst)
    schedules[KEYS[2 + place]] = due
    longest = math.max(longest, wait)
  end
end
if longest > tonumber(ARGV[3]) then
  return {3, longest, '0', at_origin, at_account}
end

for pace, due in pairs(schedules) do
  redis.call('SET', pace, string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
end
for place = 1, 2 do
  redis.call('ZADD', KEYS[place], now + lease * 1000, ARGV[1])
  redis.call('PEXPIRE', KEYS[place], lease)
end
return {0, longest, back_off, at_origin, at_account}
