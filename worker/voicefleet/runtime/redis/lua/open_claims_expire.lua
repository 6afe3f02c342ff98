-- Close open claims whose job and call are both gone: the claim expired, and the end of the room was not reported.
-- KEYS: callers, open_claims, ledger. ARGV: claim key prefix, room, ... Returns how many were closed. A room with a claim, or
-- with a caller, stays as it is: whoever claimed its call last may come back.
local closed = 0
for i = 2, #ARGV do
  local room = ARGV[i]
  if redis.call('EXISTS', ARGV[1] .. room) == 0 and not redis.call('ZSCORE', KEYS[1], room) then
    closed = closed + redis.call('HDEL', KEYS[2], room)
  end
end
if closed > 0 then
  redis.call('HINCRBY', KEYS[3], 'expired', closed)
end
return closed
