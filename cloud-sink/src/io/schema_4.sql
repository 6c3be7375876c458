-- What was one envelope is a batch of envelopes: codec 0, then its length in two bytes, then the envelope.
UPDATE readings SET block = CAST(
    unhex('00' || printf('%02x%02x', length(block) & 255, length(block) >> 8)) || block AS BLOB);
