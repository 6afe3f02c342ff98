-- Count one call of a key. KEYS: the key's calls, those of them that are over.
-- args: member (region/room), most (calls; 0: no bound), ticket (true: a ticket is asked for; false: the caller joined).
-- A ticket for one call too many is refused (0). A join is refused only to a call that was over before: the ticket of a
-- call that has ended lets in again for a while. Any other that is not counted (Redis forgot) is counted, come what may.
local here = redis.call('ZSCORE', KEYS[1], args.member)
local over = redis.call('ZSCORE', KEYS[2], args.member)
if not here and args.most > 0 and (args.ticket or over) and redis.call('ZCARD', KEYS[1]) >= args.most then
  return 0
end
if not here then
  redis.call('ZADD', KEYS[1], redis.call('TIME')[1], args.member)
end
redis.call('PEXPIRE', KEYS[1], 86400000)
if over then
  redis.call('ZREM', KEYS[2], args.member)
end
return 1
