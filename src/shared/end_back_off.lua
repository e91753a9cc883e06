-- Ends the back-off of an account that a call went through, but not one that began since.
-- KEYS: the back-off of the account. ARGV: which one.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], 0)
end
return redis.status_reply('OK')
