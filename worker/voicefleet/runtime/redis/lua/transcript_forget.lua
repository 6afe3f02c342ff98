-- What was said in a room is over. KEYS: transcript, transcript_of. ARGV: room_sid.
-- Room names recur: what was said in another room of the same name stays. Returns 1 when it was deleted.
if ARGV[1] == '' or redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
