-- Stores a table, if the connection is still in the state in which the pull began and its tables are of that version.
-- KEYS: state, table. ARGV: the state's random part, the version of the table, seconds to keep the state,
--       the table, milliseconds to keep it.
local state = redis.call('GET', KEYS[1])
local part, version = string.match(state or '', '^(%x+):(%d*)$')
if part ~= ARGV[1] or (version ~= '' and version ~= ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[1], part .. ':' .. ARGV[2], 'EX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
return 1
